"""What a model costs to run, measured: latency, throughput and memory of one machine, kept as records."""
