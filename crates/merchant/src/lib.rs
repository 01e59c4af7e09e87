//! feiqian-merchant
