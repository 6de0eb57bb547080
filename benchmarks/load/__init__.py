"""Load the server as a whole house would: sessions of the dashboard and clients of the API at the same time."""
