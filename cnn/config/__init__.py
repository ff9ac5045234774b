"""`params.yaml`, recipe files and `CNN_` settings as frozen, validated models. The only room of pydantic."""
