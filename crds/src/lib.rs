//! The Kubernetes API of Coalition: types, conditions, names, schemas.
