//! Every row of bad JSON, over HTTP.
