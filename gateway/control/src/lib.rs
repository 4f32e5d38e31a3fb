//! Control plane: admin API, OpenAPI, keys and roles, publishing.
