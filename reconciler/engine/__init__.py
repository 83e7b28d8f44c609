"""The embedded Machines API: runs machines as local processes behind the API that Fly serves."""
