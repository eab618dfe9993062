"""Tools around the method: own data, exports, reports, experiments, baselines, the supervision audit and the quickstart.

The method never imports this package.
"""
