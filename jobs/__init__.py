"""What the API and the workers share: settings, tables, the life of a job, pictures, the queue. No Flask, no ML."""
