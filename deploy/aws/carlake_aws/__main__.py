"""What the CDK CLI starts: `cdk --app "python -m carlake_aws"`. The parameters' file is CARLAKE_DEPLOY_PARAMETERS."""

from __future__ import annotations

import os
from pathlib import Path

from carlake_aws import node

if __name__ == "__main__":
    node.use()
    from carlake_aws.lake import app
    from carlake_aws.parameters import read

    given = os.environ.get("CARLAKE_DEPLOY_PARAMETERS")
    app(read(Path(given) if given else None)).synth()
