"""What runs carlake elsewhere: the job that is submitted to Spark."""
