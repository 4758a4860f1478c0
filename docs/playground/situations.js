/* Five failures, what causes each, and what cures it. tests/web/test_playground.py measures both from three seeds. */

const FAILURES = {};
