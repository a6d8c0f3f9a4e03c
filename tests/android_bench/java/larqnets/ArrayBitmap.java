package larqnets;

import android.graphics.Bitmap;

/** A Bitmap of pixels in an array, which refuses what Android's refuses. */
final class ArrayBitmap extends Bitmap {
    private final int[] argb;
    private final int width;
    private final int height;
    private final Config config;
    boolean recycled;

    ArrayBitmap(int[] argb, int width, int height, Config config) {
        this.argb = argb;
        this.width = width;
        this.height = height;
        this.config = config;
    }

    @Override
    public int getWidth() {
        return width;
    }

    @Override
    public int getHeight() {
        return height;
    }

    @Override
    public Config getConfig() {
        return config;
    }

    @Override
    public boolean isRecycled() {
        return recycled;
    }

    @Override
    public Bitmap copy(Config to, boolean isMutable) {
        return new ArrayBitmap(argb, width, height, to);
    }

    @Override
    public void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height) {
        if (recycled || config == Config.HARDWARE) {
            throw new IllegalStateException("getPixels on a Bitmap that has none");
        }
        boolean inside = x >= 0 && y >= 0 && width >= 0 && height >= 0 && x + width <= this.width && y + height <= this.height;
        int last = offset + (height - 1) * stride;
        if (!inside || Math.abs(stride) < width || offset < 0 || last < 0 || last + width > pixels.length) {
            throw new IllegalArgumentException("getPixels outside of the Bitmap or the array");
        }
        for (int row = 0; row < height; row++) {
            for (int column = 0; column < width; column++) {
                pixels[offset + row * stride + column] = argb == null ? 0xFF808080 : argb[(y + row) * this.width + x + column];
            }
        }
    }
}
