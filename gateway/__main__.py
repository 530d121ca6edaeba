"""`python -m gateway` is `voice-gateway`."""

from gateway.cli import main

raise SystemExit(main())
