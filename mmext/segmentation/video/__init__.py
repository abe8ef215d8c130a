"""Videos through segmentation networks: frames in, coloured videos, tables and figures out, whatever their length."""
