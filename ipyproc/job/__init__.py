"""The user's end of jobs: `Job`, worker groups, and the table in which all of them stand."""
