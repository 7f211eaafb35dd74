"""Settings of a JupyterHub on one machine, whose learners have accounts there; see docs/where_courses_run.md."""

# The environment that is made from requirements.lock, with jupyterhub in it. Every account must be able to read it.
ENVIRONMENT = "/opt/rlhf-course/.venv"

# JupyterHub puts get_config there.
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:8000"  # put a server with TLS in front of it
c.Spawner.cmd = [f"{ENVIRONMENT}/bin/jupyterhub-singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.environment = {
    "PATH": f"{ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin",
    # One learner's torch takes the cores of all otherwise.
    "OMP_NUM_THREADS": "1",
}
# A training needs about 2 GB; spawners other than the default one enforce this limit.
c.Spawner.mem_limit = "4G"
# Accounts of this machine log in with their passwords (PAM).
c.Authenticator.admin_users = {"instructor"}
c.Authenticator.allowed_users = {"instructor", "ada", "eve"}
