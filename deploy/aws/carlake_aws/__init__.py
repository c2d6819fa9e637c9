"""carlake in an AWS account, as code: AWS CDK stacks, each named for what it holds."""
