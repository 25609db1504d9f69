"""Milvus servers, and the tests that need one. (In the test process this package hides the PyPI package `milvus`.)"""
