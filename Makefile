# Everything that continuous integration checks, in one word.
.PHONY: quality
quality:
	.ci/run
