"""The core: accepts pictures as jobs, and runs claimed jobs. The API, the workers and the cloud functions call it."""
