"""The autograder: hidden tests, run by a judge against answers that live in a sandbox."""
