"""A local HighLevel and a local Airtable, as awkward as the real services, to try and to test everything without an
account.
"""
