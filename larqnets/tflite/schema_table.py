"""Every table of the TFLite schema and what its fields lead to.

Derived by `python -m larqnets.tflite.derive_schema` from TensorFlow 2.21.0, Copyright The TensorFlow Authors, licensed under
the Apache License, Version 2.0; not to be edited. TABLES has `table: field type, …` in the order of the slots, `-` for one
that the schema gave up. Types: 1, 2, 4, 8 are scalars of so many bytes, `string`, a table's name, a union's name; in brackets
a vector of these. The type of a union is the byte in the slot before it; UNIONS has `union: number table, …`. A table stands
behind all that refer to it, so none contains itself. Indented lines go on with the one before.
"""

TABLES = """
Model: version 4, operator_codes [OperatorCode], subgraphs [SubGraph], description string, buffers [Buffer],
  metadata_buffer [4], metadata [Metadata], signature_defs [SignatureDef], external_buffer_groups [ExternalBufferGroup],
  external_buffers [ExternalBuffer]
OperatorCode: deprecated_builtin_code 1, custom_code string, version 4, builtin_code 4
SubGraph: tensors [Tensor], inputs [4], outputs [4], operators [Operator], name string, debug_metadata_index 4
Buffer: data [1], offset 8, size 8
Metadata: name string, buffer 4
SignatureDef: inputs [TensorMap], outputs [TensorMap], signature_key string, -, subgraph_index 4
ExternalBufferGroup: name string
ExternalBuffer: id 4, group 4, offset 8, length 8, packing string
Tensor: shape [4], type 1, buffer 4, name string, quantization QuantizationParameters, is_variable 1, sparsity
  SparsityParameters, shape_signature [4], has_rank 1, variant_tensors [VariantSubType], external_buffer 4
Operator: opcode_index 4, inputs [4], outputs [4], builtin_options_type 1, builtin_options BuiltinOptions,
  custom_options [1], custom_options_format 1, mutating_variable_inputs [1], intermediates [4],
  large_custom_options_offset 8, large_custom_options_size 8, builtin_options2_type 1, builtin_options2 BuiltinOptions2,
  debug_metadata_index 4
TensorMap: name string, tensor_index 4
QuantizationParameters: min [4], max [4], scale [4], zero_point [8], details_type 1, details QuantizationDetails,
  quantized_dimension 4
SparsityParameters: traversal_order [4], block_map [4], dim_metadata [DimensionMetadata]
VariantSubType: shape [4], type 1, has_rank 1
Conv2DOptions: padding 1, stride_w 4, stride_h 4, fused_activation_function 1, dilation_w_factor 4, dilation_h_factor 4,
  quantized_bias_type 1
DepthwiseConv2DOptions: padding 1, stride_w 4, stride_h 4, depth_multiplier 4, fused_activation_function 1,
  dilation_w_factor 4, dilation_h_factor 4
ConcatEmbeddingsOptions: num_channels 4, num_columns_per_channel [4], embedding_dim_per_channel [4]
LSHProjectionOptions: type 1
Pool2DOptions: padding 1, stride_w 4, stride_h 4, filter_width 4, filter_height 4, fused_activation_function 1
SVDFOptions: rank 4, fused_activation_function 1, asymmetric_quantize_inputs 1
RNNOptions: fused_activation_function 1, asymmetric_quantize_inputs 1
FullyConnectedOptions: fused_activation_function 1, weights_format 1, keep_num_dims 1, asymmetric_quantize_inputs 1,
  quantized_bias_type 1
SoftmaxOptions: beta 4
ConcatenationOptions: axis 4, fused_activation_function 1
AddOptions: fused_activation_function 1, pot_scale_int16 1
L2NormOptions: fused_activation_function 1
LocalResponseNormalizationOptions: radius 4, bias 4, alpha 4, beta 4
LSTMOptions: fused_activation_function 1, cell_clip 4, proj_clip 4, kernel_type 1, asymmetric_quantize_inputs 1
ResizeBilinearOptions: -, -, align_corners 1, half_pixel_centers 1
CallOptions: subgraph 4
ReshapeOptions: new_shape [4]
SkipGramOptions: ngram_size 4, max_skip_size 4, include_all_ngrams 1
SpaceToDepthOptions: block_size 4
EmbeddingLookupSparseOptions: combiner 1
MulOptions: fused_activation_function 1
PadOptions:
GatherOptions: axis 4, batch_dims 4
BatchToSpaceNDOptions:
SpaceToBatchNDOptions:
TransposeOptions:
ReducerOptions: keep_dims 1
SubOptions: fused_activation_function 1, pot_scale_int16 1
DivOptions: fused_activation_function 1
SqueezeOptions: squeeze_dims [4]
SequenceRNNOptions: time_major 1, fused_activation_function 1, asymmetric_quantize_inputs 1
StridedSliceOptions: begin_mask 4, end_mask 4, ellipsis_mask 4, new_axis_mask 4, shrink_axis_mask 4, offset 1
ExpOptions:
TopKV2Options:
SplitOptions: num_splits 4
LogSoftmaxOptions:
CastOptions: in_data_type 1, out_data_type 1
DequantizeOptions:
MaximumMinimumOptions:
ArgMaxOptions: output_type 1
LessOptions:
NegOptions:
PadV2Options:
GreaterOptions:
GreaterEqualOptions:
LessEqualOptions:
SelectOptions:
SliceOptions:
TransposeConvOptions: padding 1, stride_w 4, stride_h 4, fused_activation_function 1, quantized_bias_type 1
SparseToDenseOptions: validate_indices 1
TileOptions:
ExpandDimsOptions:
EqualOptions:
NotEqualOptions:
ShapeOptions: out_type 1
PowOptions:
ArgMinOptions: output_type 1
FakeQuantOptions: min 4, max 4, num_bits 4, narrow_range 1
PackOptions: values_count 4, axis 4
LogicalOrOptions:
OneHotOptions: axis 4
LogicalAndOptions:
LogicalNotOptions:
UnpackOptions: num 4, axis 4
FloorDivOptions:
SquareOptions:
ZerosLikeOptions:
FillOptions:
BidirectionalSequenceLSTMOptions: fused_activation_function 1, cell_clip 4, proj_clip 4, merge_outputs 1, time_major 1,
  asymmetric_quantize_inputs 1
BidirectionalSequenceRNNOptions: time_major 1, fused_activation_function 1, merge_outputs 1, asymmetric_quantize_inputs
  1
UnidirectionalSequenceLSTMOptions: fused_activation_function 1, cell_clip 4, proj_clip 4, time_major 1,
  asymmetric_quantize_inputs 1, diagonal_recurrent_tensors 1
FloorModOptions:
RangeOptions:
ResizeNearestNeighborOptions: align_corners 1, half_pixel_centers 1
LeakyReluOptions: alpha 4
SquaredDifferenceOptions:
MirrorPadOptions: mode 1
AbsOptions:
SplitVOptions: num_splits 4
UniqueOptions: idx_out_type 1
ReverseV2Options:
AddNOptions:
GatherNdOptions:
CosOptions:
WhereOptions:
RankOptions:
ReverseSequenceOptions: seq_dim 4, batch_dim 4
MatrixDiagOptions:
QuantizeOptions:
MatrixSetDiagOptions:
HardSwishOptions:
IfOptions: then_subgraph_index 4, else_subgraph_index 4
WhileOptions: cond_subgraph_index 4, body_subgraph_index 4
DepthToSpaceOptions: block_size 4
NonMaxSuppressionV4Options:
NonMaxSuppressionV5Options:
ScatterNdOptions:
SelectV2Options:
DensifyOptions:
SegmentSumOptions:
BatchMatMulOptions: adj_x 1, adj_y 1, asymmetric_quantize_inputs 1
CumsumOptions: exclusive 1, reverse 1
CallOnceOptions: init_subgraph_index 4
BroadcastToOptions:
Rfft2dOptions:
Conv3DOptions: padding 1, stride_d 4, stride_w 4, stride_h 4, fused_activation_function 1, dilation_d_factor 4,
  dilation_w_factor 4, dilation_h_factor 4
HashtableOptions: table_id 4, key_dtype 1, value_dtype 1
HashtableFindOptions:
HashtableImportOptions:
HashtableSizeOptions:
VarHandleOptions: container string, shared_name string
ReadVariableOptions:
AssignVariableOptions:
RandomOptions: seed 8, seed2 8
BucketizeOptions: boundaries [4]
GeluOptions: approximate 1
DynamicUpdateSliceOptions:
UnsortedSegmentProdOptions:
UnsortedSegmentMaxOptions:
UnsortedSegmentMinOptions:
UnsortedSegmentSumOptions:
ATan2Options:
SignOptions:
BitcastOptions:
BitwiseXorOptions:
RightShiftOptions:
StablehloConcatenateOptions: dimension 8
StablehloBroadcastInDimOptions: broadcast_dimensions [8]
StablehloSliceOptions: start_indices [8], limit_indices [8], strides [8]
StablehloConvolutionOptions: window_strides [8], padding [8], lhs_dilation [8], rhs_dilation [8], window_reversal [1],
  input_batch_dimension 8, input_feature_dimension 8, input_spatial_dimensions [8], kernel_input_feature_dimension 8,
  kernel_output_feature_dimension 8, kernel_spatial_dimensions [8], output_batch_dimension 8, output_feature_dimension
  8, output_spatial_dimensions [8], feature_group_count 8, batch_group_count 8, precision_config [4]
StablehloCustomCallOptions: call_target_name string, has_side_effect 1, backend_config string, api_version 4,
  called_computations [4], custom_attributes [1]
StablehloReduceOptions: dimensions [8], body_subgraph_index 4
StablehloScatterOptions: indices_are_sorted 1, update_window_dims [8], inserted_window_dims [8],
  scatter_dims_to_operand_dims [8], index_vector_dim 8, unique_indices 1, update_computation_subgraph_index 4
StablehloCompareOptions: comparison_direction 4, compare_type 4
StablehloDynamicSliceOptions: slice_sizes [8]
StablehloPadOptions: edge_padding_low [8], edge_padding_high [8], interior_padding [8]
StablehloIotaOptions: iota_dimension 8
StablehloDotGeneralOptions: lhs_batching_dimensions [8], rhs_batching_dimensions [8], lhs_contracting_dimensions [8],
  rhs_contracting_dimensions [8], precision_config [4]
StablehloReduceWindowOptions: window_dimensions [8], window_strides [8], base_dilations [8], window_dilations [8],
  padding [8], body_subgraph_index 4
StablehloSortOptions: dimension 8, is_stable 1, comparator_subgraph_index 4
StablehloWhileOptions: cond_subgraph_index 4, body_subgraph_index 4
StablehloGatherOptions: offset_dims [8], collapsed_slice_dims [8], start_index_map [8], index_vector_dim 8, slice_sizes
  [8], indices_are_sorted 1
StablehloTransposeOptions: permutation [8]
DilateOptions:
StablehloRngBitGeneratorOptions: algorithm 1
ReduceWindowOptions: reduce_function 4
StableHLOCompositeOptions: name string, decomposition_subgraph_index 4, composite_attributes [1],
  composite_attributes_format 1, version 4
StablehloShiftLeftOptions:
StablehloCaseOptions: branch_subgraph_indices [4]
CustomQuantization: custom [1]
BlockwiseQuantization: scales 4, zero_points 4, block_size 4
DimensionMetadata: format 1, dense_size 4, array_segments_type 1, array_segments SparseIndexVector, array_indices_type
  1, array_indices SparseIndexVector
Int32Vector: values [4]
Uint16Vector: values [2]
Uint8Vector: values [1]
"""

UNIONS = """
QuantizationDetails: 1 CustomQuantization, 2 BlockwiseQuantization
SparseIndexVector: 1 Int32Vector, 2 Uint16Vector, 3 Uint8Vector
BuiltinOptions: 1 Conv2DOptions, 2 DepthwiseConv2DOptions, 3 ConcatEmbeddingsOptions, 4 LSHProjectionOptions, 5
  Pool2DOptions, 6 SVDFOptions, 7 RNNOptions, 8 FullyConnectedOptions, 9 SoftmaxOptions, 10 ConcatenationOptions, 11
  AddOptions, 12 L2NormOptions, 13 LocalResponseNormalizationOptions, 14 LSTMOptions, 15 ResizeBilinearOptions, 16
  CallOptions, 17 ReshapeOptions, 18 SkipGramOptions, 19 SpaceToDepthOptions, 20 EmbeddingLookupSparseOptions, 21
  MulOptions, 22 PadOptions, 23 GatherOptions, 24 BatchToSpaceNDOptions, 25 SpaceToBatchNDOptions, 26 TransposeOptions,
  27 ReducerOptions, 28 SubOptions, 29 DivOptions, 30 SqueezeOptions, 31 SequenceRNNOptions, 32 StridedSliceOptions, 33
  ExpOptions, 34 TopKV2Options, 35 SplitOptions, 36 LogSoftmaxOptions, 37 CastOptions, 38 DequantizeOptions, 39
  MaximumMinimumOptions, 40 ArgMaxOptions, 41 LessOptions, 42 NegOptions, 43 PadV2Options, 44 GreaterOptions, 45
  GreaterEqualOptions, 46 LessEqualOptions, 47 SelectOptions, 48 SliceOptions, 49 TransposeConvOptions, 50
  SparseToDenseOptions, 51 TileOptions, 52 ExpandDimsOptions, 53 EqualOptions, 54 NotEqualOptions, 55 ShapeOptions, 56
  PowOptions, 57 ArgMinOptions, 58 FakeQuantOptions, 59 PackOptions, 60 LogicalOrOptions, 61 OneHotOptions, 62
  LogicalAndOptions, 63 LogicalNotOptions, 64 UnpackOptions, 65 FloorDivOptions, 66 SquareOptions, 67 ZerosLikeOptions,
  68 FillOptions, 69 BidirectionalSequenceLSTMOptions, 70 BidirectionalSequenceRNNOptions, 71
  UnidirectionalSequenceLSTMOptions, 72 FloorModOptions, 73 RangeOptions, 74 ResizeNearestNeighborOptions, 75
  LeakyReluOptions, 76 SquaredDifferenceOptions, 77 MirrorPadOptions, 78 AbsOptions, 79 SplitVOptions, 80 UniqueOptions,
  81 ReverseV2Options, 82 AddNOptions, 83 GatherNdOptions, 84 CosOptions, 85 WhereOptions, 86 RankOptions, 87
  ReverseSequenceOptions, 88 MatrixDiagOptions, 89 QuantizeOptions, 90 MatrixSetDiagOptions, 91 HardSwishOptions, 92
  IfOptions, 93 WhileOptions, 94 DepthToSpaceOptions, 95 NonMaxSuppressionV4Options, 96 NonMaxSuppressionV5Options, 97
  ScatterNdOptions, 98 SelectV2Options, 99 DensifyOptions, 100 SegmentSumOptions, 101 BatchMatMulOptions, 102
  CumsumOptions, 103 CallOnceOptions, 104 BroadcastToOptions, 105 Rfft2dOptions, 106 Conv3DOptions, 107
  HashtableOptions, 108 HashtableFindOptions, 109 HashtableImportOptions, 110 HashtableSizeOptions, 111
  VarHandleOptions, 112 ReadVariableOptions, 113 AssignVariableOptions, 114 RandomOptions, 115 BucketizeOptions, 116
  GeluOptions, 117 DynamicUpdateSliceOptions, 118 UnsortedSegmentProdOptions, 119 UnsortedSegmentMaxOptions, 120
  UnsortedSegmentMinOptions, 121 UnsortedSegmentSumOptions, 122 ATan2Options, 123 SignOptions, 124 BitcastOptions, 125
  BitwiseXorOptions, 126 RightShiftOptions
BuiltinOptions2: 1 StablehloConcatenateOptions, 2 StablehloBroadcastInDimOptions, 3 StablehloSliceOptions, 4
  StablehloConvolutionOptions, 5 StablehloCustomCallOptions, 6 StablehloReduceOptions, 7 StablehloScatterOptions, 8
  StablehloCompareOptions, 9 StablehloDynamicSliceOptions, 10 StablehloPadOptions, 11 StablehloIotaOptions, 12
  StablehloDotGeneralOptions, 13 StablehloReduceWindowOptions, 14 StablehloSortOptions, 15 StablehloWhileOptions, 16
  StablehloGatherOptions, 17 StablehloTransposeOptions, 18 DilateOptions, 19 StablehloRngBitGeneratorOptions, 20
  ReduceWindowOptions, 21 StableHLOCompositeOptions, 22 StablehloShiftLeftOptions, 23 StablehloCaseOptions
"""
