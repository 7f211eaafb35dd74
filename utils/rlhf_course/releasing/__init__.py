"""Make what is handed out: a bundle for learners, an autograder for Gradescope, and marks for Canvas and Moodle."""
