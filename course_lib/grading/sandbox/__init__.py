"""Where submissions run, and how the judge talks to them.

`policy` says what a submission may do and see; `launcher` starts the sandbox by it; `server` runs
inside, `client` outside, and `protocol` is what they speak; `self_test` tries to get out.
"""
