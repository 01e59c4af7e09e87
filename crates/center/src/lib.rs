//! feiqian-center
