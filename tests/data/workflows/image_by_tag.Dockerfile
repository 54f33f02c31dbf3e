FROM python:latest
RUN cd /tmp
