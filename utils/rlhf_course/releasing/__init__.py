"""Make a bundle for learners, an autograder for Gradescope, and tables of marks for Canvas and Moodle."""
