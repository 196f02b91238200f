"""Mail: its texts, its layout, and the providers that deliver it."""
