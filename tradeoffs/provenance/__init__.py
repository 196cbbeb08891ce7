"""What results were made from: digests of code, records of jobs, verification."""
