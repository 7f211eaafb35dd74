"""What leaves the house: a bundle for learners, an autograder for Gradescope, and marks for Canvas and Moodle."""
