"""What workflows and activities say to each other: names, requests, results, the provider port."""
