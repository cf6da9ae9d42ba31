"""What several processes and hosts know together, over Redis or Valkey. Nothing here is ever needed to answer."""
