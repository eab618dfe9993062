"""What people use around the method: own data, exports, reports, experiments, baselines, the audit and the quickstart.

The method never imports it.
"""
