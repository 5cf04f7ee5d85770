"""Arrays in, arrays out; knows no file and no noun of ours."""
