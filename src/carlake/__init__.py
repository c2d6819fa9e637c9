"""carlake: an event-driven lakehouse for vehicle telemetry on Apache Iceberg."""
