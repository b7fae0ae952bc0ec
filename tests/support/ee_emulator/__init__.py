"""A local Earth Engine: expression graphs evaluated with numpy, behind Google's REST API.

It is a test tool. What it assumes about the service is listed in docs/earth_engine_semantics.md.
"""
