//! feiqian-bank
