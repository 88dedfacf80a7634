"""The Faust shell that carries records to a pure core and its answers away."""
