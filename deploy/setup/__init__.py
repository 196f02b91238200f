"""Sets a Google Cloud project up for the desk, as often as one likes: what is as it should be stays untouched.

Every part reads what there is and yields the changes that are missing, one at a time, so that a part sees what the
parts before it have made. `--plan` only tells of them.
"""
