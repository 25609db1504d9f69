"""What an operator watches: Prometheus metrics and OpenTelemetry traces, made from the events of the trail."""
