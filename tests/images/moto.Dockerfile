# A store that speaks S3, for tests/images/test_hosts.py.
FROM python:3.11-slim-bookworm
COPY requirements/moto.txt /
RUN python -m pip install --no-cache-dir --require-hashes -r moto.txt
# Buckets are folders of its address, whatever it is called.
ENV S3_IGNORE_SUBDOMAIN_BUCKETNAME=true
CMD ["moto_server", "--host", "0.0.0.0", "--port", "5000"]
