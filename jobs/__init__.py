"""What the API and the workers share: settings, tables, jobs, batches, pictures, the queue. No Flask, no framework."""
