"""Generated stubs of the sample service; needs the extra ``hemline-api[grpc]``. Do not edit: ``make generate``."""
