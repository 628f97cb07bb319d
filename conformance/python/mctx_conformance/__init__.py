# SPDX-License-Identifier: MIT
"""The conformance runner in Python, over the public package ``libmctx`` alone."""
