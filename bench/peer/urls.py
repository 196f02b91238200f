"""The addresses of the peer: all that django-helpdesk has."""

from django.urls import include, path

urlpatterns = [path("", include("helpdesk.urls", namespace="helpdesk"))]
