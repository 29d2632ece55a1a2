"""The border to botocore: clients, single requests, and its errors in our words."""
