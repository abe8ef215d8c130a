"""One page of results: what the reports publish, what runs reached, and where every number comes from."""
