"""What all folders may import: types, ports, errors, settings, telemetry. Imports none of ours."""
