"""Hostile answers: what servers, proxies and names can do to the program, and what it does then (issue "Trust")."""
